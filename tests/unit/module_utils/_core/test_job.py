from __future__ import annotations

from ansible_collections.hosting.alembic.plugins.module_utils._core import argument_specs
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job


def test_every_option_of_a_run_reaches_the_job_or_is_the_modules_own() -> None:
    left = set(argument_specs.run()) - set(Job.__dataclass_fields__)

    # How long the controller tries to reach a host again, and how much it takes from one, is its own affair. Which
    # databases there are, the module finds out before it makes a job, and before that its own code.
    assert left == {
        "reconnect_timeout",
        "backup_fetch_limit",
        *argument_specs.build_discovery(),
        *argument_specs.build_code(),
    }


def test_every_option_of_a_database_reaches_it() -> None:
    # What is wrong with a row that was found is not an option.
    assert set(argument_specs.DATABASE) == set(Database.__dataclass_fields__) - {"problem", "problem_code"}


def test_a_job_without_an_option_does_what_the_module_does_by_default() -> None:
    for name, spec in argument_specs.run().items():
        if name in Job.__dataclass_fields__ and "default" in spec:
            value = getattr(Job("upgrade", "/srv"), name)
            assert (list(value) if isinstance(value, tuple) else value) == spec["default"], name


def test_no_secret_is_in_its_representation() -> None:
    entry = {
        "name": "app",
        "url": "postgresql://u:secret1@server/shop",
        "direct_url": "postgresql://u:secret2@server/shop",
        "password": "secret3",
        "environment": {"KEY": "secret4"},
        "x_arguments": ["key=secret5"],
    }
    job = Job.from_options("upgrade", {"root": "/srv", "databases": [entry]})

    assert job.databases[0].password == "secret3"
    assert "secret" not in repr(job)


def test_what_the_virtualenv_does_not_know_stays_behind() -> None:
    job = Job.from_options("upgrade", {"root": "/srv", "reconnect_timeout": 1, "run": None, "verify_only": ["app"]})

    assert (job.run, job.verify_only) == ("", ("app",))
