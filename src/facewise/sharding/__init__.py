"""Embedding a large photo store on several processes or machines."""

from facewise.sharding.manifest import Checked, Manifest, check_run
from facewise.sharding.merge import into_gallery, merge
from facewise.sharding.plan import Plan, read_plan
from facewise.sharding.ranks import launched_as
from facewise.sharding.run import Changes, ShardResult, embed_shard

__all__ = [
    "Changes",
    "Checked",
    "Manifest",
    "Plan",
    "ShardResult",
    "check_run",
    "embed_shard",
    "into_gallery",
    "launched_as",
    "merge",
    "read_plan",
]
