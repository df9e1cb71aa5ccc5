rule stain:
    input:
        tissue=record("tissue"),
    output:
        record("stain"),
    params:
        recipe=plan.recipe("stain"),
        slides=slides_of,
    log:
        log_of("stain"),
    threads:
        1
    shell:
        "{WSI} stain --shard {wildcards.shard} --out {OUT:q} --config {CONFIG:q} --log {log:q}"
