rule embed:
    input:
        tiles=record("tiles"),
        stain=record("stain"),
    output:
        record("embed"),
    params:
        recipe=plan.recipe("embed"),
        slides=slides_of,
    log:
        log_of("embed"),
    threads:
        threads_for_reading()
    resources:
        batch=plan.config.tuning.batch,
        device=plan.config.tuning.device,
    shell:
        "{WSI} embed --shard {wildcards.shard} --out {OUT:q} --config {CONFIG:q} --log {log:q} --workers {threads} --batch {resources.batch} --device {resources.device:q}"
