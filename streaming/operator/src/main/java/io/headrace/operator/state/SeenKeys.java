package io.headrace.operator.state;

import io.headrace.operator.plan.ColumnRef;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** Dedup keys of one entity's events from one source, as far back as duplicates are recognised. */
public final class SeenKeys {
    /** What became of a key. */
    public enum Noted {
        /** It is new. */
        NEW,
        /** It is new, and one that should still be remembered had to be forgotten for it. */
        CROWDED,
        /** It is remembered already. */
        KNOWN
    }

    private static final List<ColumnRef> NO_COLUMNS = List.of();
    private static final Object[] NO_VALUES = {};
    // So few are sooner looked through than found by their hash.
    private static final int FEW = 32;

    final EventColumns events = new EventColumns(NO_COLUMNS);
    // Null as long as there are few.
    private Set<ByteBuffer> index;

    /**
     * Notes a key, and forgets those that are too old.
     *
     * @param time when the event could first be known, ms
     * @param horizon how long before the newest key one is remembered, ms
     * @param most how many are remembered at most; the oldest are forgotten first
     */
    public Noted add(long time, byte[] dedup, long horizon, int most) {
        if (contains(dedup)) {
            return Noted.KNOWN;
        }
        restore(time, dedup);
        if (index != null) {
            index.add(ByteBuffer.wrap(dedup));
        }
        long newest = newest();
        while (events.size() > 1 && events.time(0) < newest - horizon) {
            forget(0);
        }
        if (events.size() <= most) {
            return Noted.NEW;
        }
        forget(0);
        return Noted.CROWDED;
    }

    private boolean contains(byte[] dedup) {
        if (events.size() > FEW) {
            if (index == null) {
                index = new HashSet<>();
                for (int row = 0; row < events.size(); row++) {
                    index.add(ByteBuffer.wrap(events.dedup(row)));
                }
            }
            return index.contains(ByteBuffer.wrap(dedup));
        }
        index = null;
        for (int row = events.size() - 1; row >= 0; row--) {
            if (Arrays.equals(dedup, events.dedup(row))) {
                return true;
            }
        }
        return false;
    }

    /** Takes a key back, as if it had not been noted. */
    public void remove(long time, byte[] dedup) {
        int row = events.find(time, dedup);
        if (row >= 0) {
            forget(row);
        }
    }

    /** When the newest of the keys that are remembered could first be known, ms. */
    public long newest() {
        return events.time(events.size() - 1);
    }

    /** Forgets all keys. */
    public void clear() {
        events.takeFirst(events.size());
        index = null;
    }

    /** How many keys are remembered. */
    public int size() {
        return events.size();
    }

    void restore(long time, byte[] dedup) {
        events.insert(time, time, dedup, NO_VALUES);
    }

    private void forget(int row) {
        if (index != null) {
            index.remove(ByteBuffer.wrap(events.dedup(row)));
        }
        events.remove(row);
    }
}
