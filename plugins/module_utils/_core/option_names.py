# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of options that more than one package has to treat alike."""

from __future__ import annotations

#: Commands of the user, as lists of words, among which may be passwords.
COMMANDS = ("backup_command", "backup_check_command", "backup_copy_command", "restore_command")

#: What an entry of a database says for us alone, and not for env.py.
FOR_ADMIN = ("admin_url", "admin_password", "rehearse_url", "rehearse_password")
