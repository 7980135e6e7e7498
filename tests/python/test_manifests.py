"""docs/examples/storefront: Kubernetes's and Compose's files, by their own checkers; and that they speak of what there is."""
import os
import re
import shutil
import subprocess
import sys
import unittest

from test_storefront import FOLDER, ROOT


def module(name):
    try:
        return __import__(name)
    except ImportError:
        raise unittest.SkipTest(f"{name} is not there")


def test_kubernetes_manifests(folder):
    kubernetes_validate, yaml = module("kubernetes_validate"), module("yaml")
    with open(os.path.join(FOLDER, "kubernetes.yaml"), encoding="utf-8") as file:
        things = list(yaml.safe_load_all(file))
    for version in ("1.28", kubernetes_validate.latest_version()):
        for thing in things:
            kubernetes_validate.validate(thing, version, strict=True)
    named = {(thing["kind"], thing["metadata"]["name"]): thing for thing in things}
    shop = named["Deployment", "storefront"]["spec"]["template"]["spec"]
    container, = shop["containers"]
    assert {probe for probe in container if probe.endswith("Probe")} == {"startupProbe", "readinessProbe", "livenessProbe"}
    with open(os.path.join(FOLDER, "app.py"), encoding="utf-8") as file:
        assert f'@app.get("{container["readinessProbe"]["httpGet"]["path"]}")' in file.read()
    claim = shop["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert named["PersistentVolumeClaim", claim]["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert named["Service", "storefront"]["spec"]["selector"].items() <= named["Deployment", "storefront"]["spec"]["template"]["metadata"]["labels"].items()
    assert named["CronJob", "nightly"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim
    try:  # and the checker checks
        kubernetes_validate.validate({**named["Service", "storefront"], "spec": {"ports": "many"}}, "1.28", strict=True)
        raise AssertionError("taken")
    except kubernetes_validate.ValidationError:
        pass


def test_compose_file(folder):
    if not shutil.which("docker-compose"):
        raise unittest.SkipTest("docker-compose is not there")
    environment = {**os.environ, "STOREFRONT_KEY": "secret"}
    done = subprocess.run(["docker-compose", "-f", os.path.join(FOLDER, "compose.yaml"), "config"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and not done.stderr, done
    for words in ("STOREFRONT_KEY: secret", "condition: service_healthy", "haproxy.cfg"):
        assert words in done.stdout, words
    environment.pop("STOREFRONT_KEY")
    done = subprocess.run(["docker-compose", "-f", os.path.join(FOLDER, "compose.yaml"), "config"], capture_output=True, text=True, env=environment)
    assert done.returncode != 0 and "STOREFRONT_KEY" in done.stderr, done


def test_what_the_container_runs(folder):
    """start.sh --prepare and --nightly, as the manifests call them, with the files that the Containerfile copies."""
    with open(os.path.join(FOLDER, "Containerfile"), encoding="utf-8") as file:
        copied = re.search(r"^COPY (docs/examples/storefront) (sql/nightly.sql) /storefront/$", file.read(), re.M).groups()
    place = os.path.join(folder, "storefront")
    shutil.copytree(os.path.join(ROOT, copied[0]), place)
    shutil.copy(os.path.join(ROOT, copied[1]), place)
    path = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]  # the package is this Python's
    environment = {**os.environ, "STOREFRONT_DB": os.path.join(folder, "shop.db"), "PATH": path}
    for words, says in ((["--prepare"], ""), (["--prepare"], ""), (["--nightly"], "version ")):
        done = subprocess.run(["sh", os.path.join(place, "start.sh"), *words], capture_output=True, text=True, env=environment, timeout=300)
        # while the shop's experiment runs no version goes live: the night says so, and yesterday's answers
        assert (done.returncode == 0 and done.stdout.startswith(says)) or (words == ["--nightly"] and "the experiment" in done.stderr), done
