# The plan of this run: config, manifest and shards. A wrong config or manifest ends it here, before any job.
import sys

from wsi_features.errors import UsageError
from wsi_features.stages.plan import plan_of

try:
    plan = plan_of(config)
except UsageError as error:
    raise WorkflowError(str(error)) from None

OUT = str(plan.out.root)
CONFIG = plan.config_text
WSI = f"{sys.executable} -m wsi_features"


wildcard_constraints:
    shard=r"\d{5}",


localrules:
    all,
    manifest,
    collect,
    verdict,


def record(stage):
    return str(plan.out.record(stage, "{shard}"))


def log_of(stage):
    return str(plan.out.log(stage + "-{shard}"))


def slides_of(wildcards):
    return plan.slides(wildcards.shard)


def threads_for_reading():
    return plan.config.tuning.workers or workflow.cores or 2


rule manifest:
    output:
        str(plan.out.manifest),
    params:
        digest=plan.manifest_digest,
        source=plan.config.manifest,
        per_shard=plan.config.tuning.slides_per_shard,
    shell:
        "{WSI} manifest --out {OUT:q} --slides-per-shard {params.per_shard} -- {params.source:q}"
