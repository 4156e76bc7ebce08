"""The command `uplift`: one command per step of the road; no logic.

A module per group of commands; importing it registers them with the app.
"""

from uplift.cli import definitions as definitions
from uplift.cli import export as export
from uplift.cli import long_term as long_term
from uplift.cli import planning as planning
from uplift.cli import programme as programme
from uplift.cli import registry as registry
from uplift.cli import road as road
from uplift.cli.common import app as app
from uplift.cli.common import main as main
