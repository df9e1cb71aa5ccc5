rule tiles:
    input:
        tissue=record("tissue"),
    output:
        record("tiles"),
    params:
        recipe=plan.recipe("tiles"),
        slides=slides_of,
    log:
        log_of("tiles"),
    threads:
        1
    shell:
        "{WSI} tiles --shard {wildcards.shard} --out {OUT:q} --config {CONFIG:q} --log {log:q}"
