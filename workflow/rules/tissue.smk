rule tissue:
    output:
        record("tissue"),
    params:
        recipe=plan.recipe("tissue"),
        slides=slides_of,
    log:
        log_of("tissue"),
    threads:
        threads_for_reading() if plan.config.tissue.model else 1
    shell:
        "{WSI} tissue --shard {wildcards.shard} --out {OUT:q} --config {CONFIG:q} --log {log:q}"
