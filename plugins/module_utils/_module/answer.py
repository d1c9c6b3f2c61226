# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rest of a module, once its code was found: from here on nothing is used of what Ansible has sent.

The collection may be replaced while a playbook runs. What one call works with is of one version all the same, but for
the arguments of ``answer``.
"""

from __future__ import annotations

import functools
from importlib import import_module
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from .._core.masking import learn
from .._core.secrets import mask_for
from .call import CODE
from .result import answer_errors

_UTILS = __name__.rpartition("._module.")[0]


def answer(name: str, module: AnsibleModule, archive: Path | None, kept: str) -> None:
    """Have the file of a module in ``_answers`` respond.

    Args:
        name: the module.
        module: with its options.
        archive: the code as it was sent; None where all of it was there without an archive.
        kept: ``writable`` where it is kept, and what is compiled of it may be kept beside it; ``read_only`` in check
            mode, and nothing where it lies in a temporary folder.
    """
    CODE.archive, CODE.kept = archive, kept
    learn(functools.partial(mask_for, module.params))
    with answer_errors(module):
        import_module(f"{_UTILS}._answers.{name}").respond(module)
