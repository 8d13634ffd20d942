"""A stock set-up: JupyterHub, DockerSpawner and the defaults, on free ports in a folder."""

import json
import os

c = get_config()  # noqa: F821 (given by JupyterHub)
given = json.loads(os.environ["BENCH_STOCK"])

c.JupyterHub.bind_url = given["url"]
c.JupyterHub.hub_ip = given["gateway"]
c.JupyterHub.hub_port = given["hub_port"]
c.ConfigurableHTTPProxy.command = given["proxy"]
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{given['proxy_api_port']}"
c.ConfigurableHTTPProxy.pid_file = "proxy.pid"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "dockerspawner.DockerSpawner"
c.DockerSpawner.image = given["image"]
c.DockerSpawner.network_name = given["network"]
c.DockerSpawner.use_internal_ip = True
c.DockerSpawner.pull_policy = "skip"
c.DockerSpawner.remove = True
c.DockerSpawner.prefix = given["instance"]
c.DockerSpawner.extra_create_kwargs = {"labels": {"dli.instance": given["instance"]}}
c.Spawner.start_timeout = 900
c.Spawner.http_timeout = 900
c.JupyterHub.load_roles = [
    {"name": "bench", "scopes": ["admin:users", "admin:servers", "tokens"], "services": ["bench"]}
]
c.JupyterHub.services = [{"name": "bench", "api_token": given["token"]}]
