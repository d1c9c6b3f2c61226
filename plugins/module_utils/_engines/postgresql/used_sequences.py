# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sequences of which a session has had a value: it keeps the last one, whatever was rolled back since."""

from __future__ import annotations

from typing import Any

#: ``currval`` raises an error for all others, which only a block in a routine can go on from.
_USED = """
do $$
declare
  used text := '';
  number oid;
begin
  for number in
    select seqrelid from pg_sequence where has_sequence_privilege(seqrelid, 'select')
  loop
    begin
      perform currval(number::regclass);
      used := used || ' ' || number;
    exception when object_not_in_prerequisite_state then
      null;
    end;
  end loop;
  perform set_config('hosting_alembic.sequences', used, true);
end $$; select current_setting('hosting_alembic.sequences')
"""


def read_used_sequences(cursor: Any) -> list[str]:
    """Return the numbers of the sequences that the session of a driver's cursor has used."""
    cursor.execute(_USED)
    while cursor.description is None and cursor.nextset():
        continue
    return str(cursor.fetchall()[-1][0]).split()
