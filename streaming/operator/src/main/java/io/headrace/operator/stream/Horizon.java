package io.headrace.operator.stream;

import java.util.HashMap;
import java.util.Map;

/**
 * How far the sources have to come until nothing that former runs did can be met again.
 *
 * <p>Asked at the barrier of a checkpoint, the answer of one subtask holds for all: an event behind
 * the last known one of its partition has come through, so that its source had read on before the
 * barrier, and all that it had read has been decided before the barrier. In ordered mode events may
 * still wait, but for no longer than the watermark, which all subtasks share at a barrier.
 */
final class Horizon {
    private final boolean ordered;
    private final Map<Integer, Long> last = new HashMap<>();
    private long lastAvailable = Long.MIN_VALUE;

    /** Of a job that absorbs events on arrival, or in the order of time. */
    Horizon(boolean ordered) {
        this.ordered = ordered;
    }

    /** An event that a former run has dealt with. */
    void add(Place place, long available) {
        last.merge(place.partition(), place.offset(), Math::max);
        lastAvailable = Math.max(lastAvailable, available);
    }

    /** An event that has come through. */
    void see(int partition, long offset) {
        if (!last.isEmpty()) {
            Long known = last.get(partition);
            if (known != null && offset > known) {
                last.remove(partition);
            }
        }
    }

    /** Whether all are behind, at a barrier under a watermark. */
    boolean passed(long watermark) {
        return last.isEmpty() && (!ordered || watermark >= lastAvailable);
    }
}
