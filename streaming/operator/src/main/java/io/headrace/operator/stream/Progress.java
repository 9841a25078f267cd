package io.headrace.operator.stream;

import java.util.Arrays;

/**
 * How far a subtask has come in each partition of each source, in the time of events.
 *
 * <p>The watermark leaves partitions behind that are silent for a while, or held back: an entity's
 * state can only go when the partitions that its events come from have passed.
 */
final class Progress {
    // Partitions share bits and times beyond this many: they are then waited for together.
    private static final int MOST = Long.SIZE;
    private static final long UNKNOWN = Long.MIN_VALUE;

    private final long[][] newest;

    Progress(int sources) {
        newest = new long[sources][MOST];
        for (long[] of : newest) {
            Arrays.fill(of, UNKNOWN);
        }
    }

    /** Notes an event, and in the partitions of its entity where it came from. */
    void note(Envelope event, long[] partitions) {
        int place = event.partition % MOST;
        partitions[event.source] |= 1L << place;
        newest[event.source][place] = Math.max(newest[event.source][place], event.available);
    }

    /** Whether all partitions of an entity have passed a time, as far as this subtask knows. */
    boolean hasPassed(long time, long[] partitions) {
        for (int source = 0; source < newest.length; source++) {
            for (long left = partitions[source]; left != 0; left &= left - 1) {
                if (newest[source][Long.numberOfTrailingZeros(left)] < time) {
                    return false;
                }
            }
        }
        return true;
    }
}
