# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What differs between databases, behind one interface. Nothing outside asks which database it talks to.

Nothing is imported here: a glance at a database at head needs no engine, and none of what the engines import.
"""
