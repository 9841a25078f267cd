package io.headrace.operator.state;

import io.headrace.operator.packed.PackedReader;
import io.headrace.operator.packed.PackedWriter;
import io.headrace.operator.plan.ColumnRef;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Dedup keys of one entity's events from one source, as far back as duplicates are recognised.
 *
 * <p>Few are kept with the state. Once there are many they are spread over buckets of their own, of
 * which only the one that a key belongs to is read. There, what is too old is let go of when its
 * bucket is used, or when there is no room.
 */
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

    /** A key has no columns beside its time. */
    public static final List<ColumnRef> NO_COLUMNS = List.of();

    private static final Object[] NO_VALUES = {};
    private static final int FEW = 128;
    private static final int BUCKETS = 512;
    // A sweep through all buckets pays only if it can find some more to forget.
    private static final int SWEEPS_A_HORIZON = 32;

    // Those that are with the state: all, or none once they are spread.
    private final EventColumns few = new EventColumns(NO_COLUMNS);
    private final Map<Integer, EventColumns> used = new HashMap<>(0);
    private ChunkStore store;
    private boolean spread;
    // Of keys that are spread: how many are in buckets, and what was said to `add` last.
    private int count;
    private long newest;
    private long rememberedFrom = Long.MIN_VALUE;
    private long sweptTo = Long.MIN_VALUE;

    void bind(ChunkStore buckets) {
        store = buckets;
    }

    /** Stores the buckets that were used, and lets go of all. */
    void release() {
        for (Map.Entry<Integer, EventColumns> bucket : used.entrySet()) {
            if (bucket.getValue().size() == 0) {
                store.delete(bucket.getKey());
            } else {
                store.save(bucket.getKey(), PackedEvents.of(bucket.getValue()));
            }
        }
        used.clear();
    }

    /**
     * Notes a key, and forgets those that are too old.
     *
     * @param time when the event could first be known, ms
     * @param horizon how long before the newest key one is remembered, ms
     * @param most how many are remembered at most; the oldest are forgotten first, of those in its
     *     bucket where they are spread
     */
    public Noted add(long time, byte[] dedup, long horizon, int most) {
        EventColumns keys = spread ? bucket(dedup) : few;
        if (contains(keys, dedup)) {
            return Noted.KNOWN;
        }
        keys.insert(time, time, dedup, NO_VALUES);
        return spread ? notedInBucket(keys, time, horizon, most) : notedAmongFew(horizon, most);
    }

    private Noted notedAmongFew(long horizon, int most) {
        long from = newest() - horizon;
        while (few.size() > 1 && few.time(0) < from) {
            few.remove(0);
        }
        if (few.size() > most) {
            few.remove(0);
            return Noted.CROWDED;
        }
        if (few.size() > FEW) {
            spread(from);
        }
        return Noted.NEW;
    }

    private void spread(long from) {
        newest = newest();
        rememberedFrom = from;
        sweptTo = from;
        count = few.size();
        spread = true;
        for (int row = 0; row < count; row++) {
            EventColumns bucket = bucket(few.dedup(row));
            bucket.insert(few.time(row), few.time(row), few.dedup(row), NO_VALUES);
        }
        few.takeFirst(count);
    }

    private Noted notedInBucket(EventColumns bucket, long time, long horizon, int most) {
        count++;
        newest = Math.max(newest, time);
        rememberedFrom = Math.max(rememberedFrom, newest - horizon);
        if (count > most && rememberedFrom - sweptTo >= horizon / SWEEPS_A_HORIZON) {
            for (int number = 0; number < BUCKETS; number++) {
                bucket(number);
            }
            sweptTo = rememberedFrom;
        }
        if (count <= most || bucket.size() == 1) {
            return Noted.NEW;
        }
        bucket.remove(0);
        count--;
        return Noted.CROWDED;
    }

    private EventColumns bucket(byte[] dedup) {
        int hash = Arrays.hashCode(dedup);
        return bucket((hash ^ hash >>> 16) & BUCKETS - 1);
    }

    /** A bucket without what is too old. */
    private EventColumns bucket(int number) {
        EventColumns bucket = used.get(number);
        if (bucket == null) {
            PackedEvents held = store.load(number);
            bucket = held == null ? new EventColumns(NO_COLUMNS) : held.unpacked();
            used.put(number, bucket);
        }
        while (bucket.size() > 0 && bucket.time(0) < rememberedFrom) {
            bucket.remove(0);
            count--;
        }
        return bucket;
    }

    private static boolean contains(EventColumns keys, byte[] dedup) {
        for (int row = keys.size() - 1; row >= 0; row--) {
            if (Arrays.equals(dedup, keys.dedup(row))) {
                return true;
            }
        }
        return false;
    }

    /** Takes a key back, as if it had not been noted. */
    public void remove(long time, byte[] dedup) {
        EventColumns keys = spread ? bucket(dedup) : few;
        int row = keys.find(time, dedup);
        if (row >= 0) {
            keys.remove(row);
            count -= spread ? 1 : 0;
        }
    }

    /** When the newest of the keys that are remembered could first be known, ms. */
    public long newest() {
        return spread ? newest : few.time(few.size() - 1);
    }

    /** Forgets all keys. */
    public void clear() {
        few.takeFirst(few.size());
        if (spread) {
            for (int number = 0; number < BUCKETS; number++) {
                used.put(number, new EventColumns(NO_COLUMNS));
            }
            spread = false;
            rememberedFrom = Long.MIN_VALUE;
        }
    }

    /** How many keys are remembered; where they are spread, some of them may be too old. */
    public int size() {
        return spread ? count : few.size();
    }

    void write(PackedWriter out) {
        out.truth(spread);
        if (spread) {
            out.natural(count);
            out.integer(newest);
            out.integer(newest - rememberedFrom);
            out.integer(newest - sweptTo);
            return;
        }
        out.natural(few.size());
        long before = 0;
        for (int row = 0; row < few.size(); row++) {
            out.integer(few.time(row) - before);
            before = few.time(row);
            out.binary(few.dedup(row));
        }
    }

    void read(PackedReader in) {
        spread = in.truth();
        if (spread) {
            count = in.count();
            newest = in.integer();
            rememberedFrom = newest - in.integer();
            sweptTo = newest - in.integer();
            return;
        }
        long time = 0;
        for (int left = in.count(); left > 0; left--) {
            time += in.integer();
            few.insert(time, time, in.binary(), NO_VALUES);
        }
    }
}
