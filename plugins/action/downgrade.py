# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of the downgrade module."""

from __future__ import annotations

from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.action import FollowingAction


class ActionModule(FollowingAction):
    """Follow the downgrade until it has ended."""

    FAILS_SHORT = True
