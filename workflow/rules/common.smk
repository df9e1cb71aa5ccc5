# The plan of this run: config, manifest and shards. A wrong config or manifest ends it here, before any job.
import shlex
import sys

from wsi_features.errors import UsageError
from wsi_features.stages.plan import plan_of
from wsi_features.stages.run import write_manifest

try:
    plan = plan_of(config, in_job=not workflow.is_main_process)
except UsageError as error:
    raise WorkflowError(str(error)) from None

OUT = str(plan.out.root)
CONFIG = plan.config_text
WSI = f"{shlex.quote(sys.executable)} -m wsi_features"


wildcard_constraints:
    shard=r"\d{5}",


localrules:
    all,
    collect,
    verdict,


# Where Snakemake would carry files through a storage of its own (Kubernetes), the output folder is a mounted volume.
def in_out(path):
    return local(str(path)) if workflow.storage_settings.default_storage_provider else str(path)


def record(stage):
    return in_out(plan.out.record(stage, "{shard}"))


def log_of(stage):
    return in_out(plan.out.log(stage + "-{shard}"))


def slides_of(wildcards):
    return plan.slides(wildcards.shard)


# On a cluster there is no number of cores, and `workflow.cores` raises; there `set-threads` of the profile decides.
def threads_for_reading():
    return plan.config.tuning.workers or workflow.resource_settings.cores or 2


# Not a rule: below a job that reruns, Snakemake (9.27) does not look for changed params across an ancient() input,
# so an appended slide would be written into the manifest and then forgotten.
onstart:
    write_manifest(plan)
