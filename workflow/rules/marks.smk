rule marks:
    input:
        embed=record("embed"),
    output:
        record("marks"),
    params:
        recipe=plan.recipe("marks"),
    log:
        log_of("marks"),
    threads:
        1
    shell:
        "{WSI} marks --shard {wildcards.shard} --out {OUT:q} --config {CONFIG:q} --log {log:q}"
