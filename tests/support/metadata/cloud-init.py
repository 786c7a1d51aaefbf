"""Reads a metadata server with cloud-init's own code and prints the result as JSON: cloud-init.py URL"""

import base64
import json
import sys

from cloudinit import helpers
from cloudinit.sources import DataSourceGCE as gce

BASE = sys.argv[1]
# It would ask the firmware of the machine that runs the test.
gce.platform_reports_gce = lambda: True
gce.GUEST_ATTRIBUTES_URL = BASE + "/computeMetadata/v1/instance/guest-attributes"

settings = {"datasource": {"GCE": {"metadata_url": BASE + "/computeMetadata/v1/", "retries": 0}}}
source = gce.DataSourceGCE(settings, None, helpers.Paths({}))
found = source._get_data()
source.publish_host_keys([("ssh-ed25519", "AAAAC3Nza")])
print(json.dumps({
    "found": found,
    "id": source.get_instance_id(),
    "zone": source.availability_zone,
    "region": source.region,
    "hostname": source.get_hostname().hostname,
    "keys": source.get_public_ssh_keys(),
    "user-data": base64.b64encode(source.userdata_raw or b"").decode(),
}))
