package io.headrace.operator.state;

import io.headrace.operator.plan.ColumnRef;
import java.util.Arrays;
import java.util.List;

/** Dedup keys of one entity's events from one source, as far back as duplicates are recognised. */
public final class SeenKeys {
    private static final List<ColumnRef> NO_COLUMNS = List.of();
    private static final Object[] NO_VALUES = {};

    final EventColumns events = new EventColumns(NO_COLUMNS);

    /**
     * Notes a key, and forgets those that are too old.
     *
     * @param time when the event could first be known, ms
     * @param horizon how long before the newest key one is remembered, ms
     * @return whether it is new
     */
    public boolean add(long time, byte[] dedup, long horizon) {
        for (int row = events.size() - 1; row >= 0; row--) {
            if (Arrays.equals(dedup, events.dedup(row))) {
                return false;
            }
        }
        events.insert(time, time, dedup, NO_VALUES);
        long newest = events.time(events.size() - 1);
        while (events.size() > 1 && events.time(0) < newest - horizon) {
            events.remove(0);
        }
        return true;
    }

    /** Takes a key back, as if it had not been noted. */
    public void remove(long time, byte[] dedup) {
        int row = events.find(time, dedup);
        if (row >= 0) {
            events.remove(row);
        }
    }

    /** When the newest of the keys that are remembered could first be known, ms. */
    public long newest() {
        return events.time(events.size() - 1);
    }

    /** Forgets all keys. */
    public void clear() {
        while (events.size() > 0) {
            events.remove(events.size() - 1);
        }
    }

    void restore(long time, byte[] dedup) {
        events.insert(time, time, dedup, NO_VALUES);
    }

    /** How many keys are remembered. */
    public int size() {
        return events.size();
    }
}
