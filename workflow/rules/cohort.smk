# collect always ends well: Snakemake deletes what a failed rule wrote. verdict, the last rule, says whether a slide failed.
VERDICT = str(plan.out.root / "records" / "verdict.txt")


rule collect:
    input:
        expand(record("marks"), shard=plan.shards),
    output:
        str(plan.out.status),
    params:
        manifest=plan.manifest_digest,
    shell:
        "{WSI} collect -- {OUT:q}"


rule verdict:
    input:
        status=str(plan.out.status),
        report=str(plan.out.report),
    output:
        VERDICT,
    params:
        accept=[option for code in plan.config.accept for option in ("--accept", code)],
    shell:
        "{WSI} status {params.accept:q} -- {OUT:q} && touch {output:q}"
