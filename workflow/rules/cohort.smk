# collect always ends well: Snakemake deletes what a failed rule wrote. verdict, the last rule, says whether a slide failed.
VERDICT = in_out(plan.out.root / "records" / "verdict.txt")


rule collect:
    input:
        [in_out(plan.out.record("marks", shard)) for shard in plan.shards],
    output:
        in_out(plan.out.status),
    params:
        manifest=plan.manifest_digest,
    shell:
        "{WSI} collect -- {OUT:q}"


rule verdict:
    input:
        status=in_out(plan.out.status),
        report=in_out(plan.out.report),
    output:
        VERDICT,
    params:
        accept=[option for code in plan.config.accept for option in ("--accept", code)],
    shell:
        "{WSI} status {params.accept:q} -- {OUT:q} && touch {output:q}"
