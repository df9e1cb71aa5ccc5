# Slides in, verified feature stores out. The stages live in the package; the rules only call its command line.
#   snakemake --profile profiles/local --configfile my_config.yaml
from snakemake.utils import min_version

min_version("9.14")


configfile: f"{workflow.basedir}/resources/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/tissue.smk"
include: "workflow/rules/tiles.smk"
include: "workflow/rules/stain.smk"
include: "workflow/rules/embed.smk"
include: "workflow/rules/marks.smk"
include: "workflow/rules/cohort.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        VERDICT,
