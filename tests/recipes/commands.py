"""Runs commands in this process, and checks what they tell with --json against its form."""

from __future__ import annotations

import json
from importlib.resources import files

from jsonschema import Draft202012Validator
from typer.testing import CliRunner

import batchwright.cli
from batchwright.cli.app import app

SHELL = CliRunner()

SCHEMAS = json.loads(files(batchwright.cli).joinpath("schemas.json").read_text())


def run(*arguments, code=0):
    done = SHELL.invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == code, (done.output, done.exception)
    return done


def told(*arguments, form, code=0):
    found = json.loads(run(*arguments, "--json", code=code).stdout)
    Draft202012Validator({"$ref": f"#/$defs/{form}", **SCHEMAS}).validate(found)
    return found
