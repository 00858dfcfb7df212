-- Alarms wait to be told in a table of their own. Where several nodes write, no order of ids is the order of commits, so an outlet that
-- remembered the last id it read would miss what was committed later under an earlier one. The release before this one runs on it: it
-- still reads by id, tells the alarms that it appends itself, and leaves this table alone.

-- An alarm that no outlet has told yet: written with its event, removed once it is told.
CREATE TABLE alarm_untold (
  event_id  TEXT PRIMARY KEY                 -- evt_…
);
INSERT INTO alarm_untold (event_id)
  SELECT id FROM event WHERE rings = 1
    AND id > COALESCE((SELECT read_up_to FROM outlet WHERE name = 'alarm-log'), '');
