"""Export as STIX 2.1, so that a threat-intelligence platform can read what greyzone found, and the way back.

Incidents, campaigns, reports, locations, notes and relationships are STIX's own types. Narratives, channels and events are object types
that extension definitions of ours declare. Actors are hypotheses: an intrusion set is joined to incidents and campaigns only by a grouping
a hypothesis and by notes that say whose it is; attributed-to is written only where a person set an attribution, and in that person's name.

- `greyzone.stix.objects`: ids, times, markings, extension definitions
- `greyzone.stix.rows`: rows of tables in an extension, and accounts hidden
- `greyzone.stix.cyber`, `stories`, `evidence`, `campaigns`: what each of our things becomes
- `greyzone.stix.bundle`: their order, and the file
- `greyzone.stix.reading`: the tables that a bundle holds
"""

from greyzone.stix.bundle import EXPORTED, bundle_rows, iter_objects, to_bundle, write_bundle
from greyzone.stix.objects import TLP_MARKINGS, object_id
from greyzone.stix.reading import read_tables

__all__ = ["EXPORTED", "TLP_MARKINGS", "bundle_rows", "iter_objects", "object_id", "read_tables", "to_bundle", "write_bundle"]
