"""A JupyterHub for a class, on one machine: each student is a user of the machine and has a JupyterLab of their own.

    sudo /opt/pvlab/bin/jupyterhub -f jupyterhub_config.py

/opt/pvlab is a virtual environment with pvlab, jupyterhub and nbgitpuller; see classroom.md. With PVLAB_HUB_TRIAL=1 it
asks for no password and needs no users: to look at it on your own desk, never for a class.
"""
import os
import sys
from pathlib import Path

c = get_config()  # noqa: F821
here = Path(sys.prefix)

c.JupyterHub.bind_url = "http://127.0.0.1:8000"         # behind a web server that has the certificate
c.JupyterHub.db_url = f"sqlite:///{os.environ.get('PVLAB_HUB_DB', 'jupyterhub.sqlite')}"

c.Authenticator.allow_all = True                        # everybody with an account on this machine; or list allowed_users
c.Spawner.cmd = [str(here / "bin" / "jupyterhub-singleuser")]
c.Spawner.default_url = "/lab"
c.Spawner.args = ["--ServerApp.terminals_enabled=True"]
c.Spawner.start_timeout = c.Spawner.http_timeout = 120       # a class that arrives at once keeps the machine busy

# Guests that are built once for all: see classroom.md for filling it. Students' own builds stay in their homes.
c.Spawner.environment = {"PVLAB_SHARED_CACHE": os.environ.get("PVLAB_SHARED_CACHE", "/var/lib/pvlab/cache"),
                         "PATH": f"{here / 'bin'}{os.pathsep}/usr/local/bin:/usr/bin:/bin"}

# A student's server ends when it was left alone for an hour.
c.JupyterHub.load_roles = [{"name": "idle", "services": ["idle"],
                            "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"]}]
c.JupyterHub.services = [{"name": "idle", "command": [
    sys.executable, "-m", "jupyterhub_idle_culler", "--timeout=3600"]}]

if os.environ.get("PVLAB_HUB_TRIAL"):
    c.JupyterHub.authenticator_class = "dummy"
    c.JupyterHub.spawner_class = "simple"
    if os.getuid() == 0:
        c.Spawner.args.append("--allow-root")
