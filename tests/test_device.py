"""The checks of `make test-device` hold on the CPU, as far as they mean something there."""

from __future__ import annotations

import inspect

import pytest
import torch

from . import device


@pytest.mark.parametrize("check", device.ON_BOTH, ids=lambda check: check.__name__)
def test_on_the_cpu(check):
    check(torch.device("cpu"))


def test_every_check_is_run_somewhere():
    checks = {
        one for name, one in vars(device).items() if inspect.isfunction(one) and one.__module__ == device.__name__
    }
    helpers = {device.plan, device.same, device.projections, device.main}
    assert checks - helpers == {*device.ON_BOTH, *device.ON_A_GPU}
