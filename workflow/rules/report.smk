rule report:
    input:
        str(plan.out.status),
    output:
        str(plan.out.report),
    params:
        title=plan.config.report.title,
        figures=plan.config.report.figures,
    shell:
        "{WSI} report --title {params.title:q} --figures {params.figures} -- {OUT:q}"
