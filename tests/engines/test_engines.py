"""All engines write the same bytes: one machine, Ray on two nodes, Spark on a local cluster; also when workers die."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

import batchwright as bw
from batchwright.indexes import build

from ..indexes.data import KINDS, folder, table

COLUMNS = {"label": "kind", "length": "n", "weight": "w", "by": ["year"]}
ROWS, ENDS = 400, [20, 90, 150, 260, 310, 390]


def bytes_of(path):
    return {file.name: file.read_bytes() for file in Path(path).iterdir()}


@pytest.fixture(scope="module")
def two_nodes():
    """Ray on two nodes of this machine."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def local_cluster():
    """Spark with two executors of this machine, in processes of their own."""
    sql = pytest.importorskip("pyspark.sql")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        sql.SparkSession.builder.master("local-cluster[2,1,1024]")
        .config("spark.ui.enabled", "false")
        .config("spark.executorEnv.PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture(params=["ray", "spark"])
def engine(request):
    request.getfixturevalue({"ray": "two_nodes", "spark": "local_cluster"}[request.param])
    return request.param


@pytest.mark.parametrize("kind", KINDS)
def test_every_engine_writes_the_same_bytes(tmp_path, monkeypatch, engine, kind):
    monkeypatch.setattr(build, "_UNIT_FILES", 2)
    data = folder(tmp_path / "data", table(ROWS), ENDS, kind)
    bw.index(data, path=tmp_path / "duckdb", engine="duckdb", **COLUMNS)
    bw.index(data, path=tmp_path / "made", engine=engine, **COLUMNS)
    assert bytes_of(tmp_path / "made") == bytes_of(tmp_path / "duckdb")


def test_what_a_task_refuses_is_refused_here(tmp_path, engine):
    data = folder(tmp_path / "data", table(ROWS), ENDS, "parquet")
    with pytest.raises(bw.Infeasible, match="has no column 'color'"):
        bw.index(data, path=tmp_path / "made", label="color", engine=engine)


def dying_once(marker, original):
    """Scan a part; the first process that comes here for a part in the middle is killed."""

    def scan(path, files, **named):
        if files[0].number == 4 and not os.path.exists(marker):
            Path(marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.05)
        return original(path, files, **named)

    return scan


def test_a_worker_that_is_killed_in_the_middle_of_a_scan_changes_nothing(tmp_path, monkeypatch, engine):
    monkeypatch.setattr(build, "_UNIT_FILES", 1)
    data = folder(tmp_path / "data", table(ROWS), ENDS, "parquet")
    bw.index(data, path=tmp_path / "duckdb", engine="duckdb", **COLUMNS)
    monkeypatch.setattr(build, "_part", dying_once(str(tmp_path / "died"), build._part))
    bw.index(data, path=tmp_path / "made", engine=engine, **COLUMNS)
    assert (tmp_path / "died").exists()
    assert bytes_of(tmp_path / "made") == bytes_of(tmp_path / "duckdb")
