rule report:
    input:
        in_out(plan.out.status),
    output:
        in_out(plan.out.report),
    params:
        title=plan.config.report.title,
        figures=plan.config.report.figures,
    shell:
        "{WSI} report --title {params.title:q} --figures {params.figures} -- {OUT:q}"
