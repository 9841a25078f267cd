package io.headrace.operator.aggregate;

import io.headrace.operator.packed.PackedReader;
import io.headrace.operator.packed.PackedWriter;
import io.headrace.operator.plan.FeaturePlan;
import io.headrace.operator.state.EventColumns;
import java.io.IOException;
import java.util.Arrays;

/** The row with the least or greatest (event time, dedup key bytes), and its values. */
final class EdgeAccumulator implements Accumulator {
    private final int[] columns;
    private final boolean last;
    private boolean found;
    private long time;
    private byte[] dedup;
    private Object[] values;

    EdgeAccumulator(int[] columns, boolean last) {
        this.columns = columns;
        this.last = last;
    }

    @Override
    public void clear() {
        found = false;
        dedup = null;
        values = null;
    }

    @Override
    public void absorb(EventColumns events, int row) {
        if (!takes(events.time(row), events.dedup(row))) {
            return;
        }
        Object[] chosen = new Object[columns.length];
        for (int i = 0; i < columns.length; i++) {
            chosen[i] = events.value(columns[i], row);
        }
        values = chosen;
    }

    @Override
    public void merge(Accumulator other) {
        EdgeAccumulator that = (EdgeAccumulator) other;
        if (that.found && takes(that.time, that.dedup)) {
            values = that.values;
        }
    }

    @Override
    public void adopt(Accumulator earlier, int[] places) {
        EdgeAccumulator that = (EdgeAccumulator) earlier;
        if (that.found && takes(that.time, that.dedup)) {
            values = new Object[columns.length];
            for (int i = 0; i < places.length; i++) {
                values[i] = places[i] < 0 ? null : that.values[places[i]];
            }
        }
    }

    @Override
    public Object value(FeaturePlan feature) {
        return found ? values[feature.edgeColumn()] : feature.defaultValue();
    }

    @Override
    public void pack(MessagePacker out) throws IOException {
        if (!found) {
            out.value(null);
            return;
        }
        out.array(3);
        out.integer(time);
        out.binary(dedup);
        out.array(values.length);
        for (Object value : values) {
            out.value(value);
        }
    }

    @Override
    public void write(PackedWriter out) {
        out.truth(found);
        if (!found) {
            return;
        }
        out.integer(time);
        out.binary(dedup);
        for (Object value : values) {
            out.value(value);
        }
    }

    @Override
    public void read(PackedReader in) {
        clear();
        found = in.truth();
        if (!found) {
            return;
        }
        time = in.integer();
        dedup = in.binary();
        values = new Object[columns.length];
        for (int i = 0; i < columns.length; i++) {
            values[i] = in.value();
        }
    }

    /** Whether an event comes before the chosen one; its place is kept if it does. */
    private boolean takes(long otherTime, byte[] otherDedup) {
        if (found) {
            int order = Long.compare(otherTime, time);
            if (order == 0) {
                order = Arrays.compareUnsigned(otherDedup, dedup);
            }
            if (order > 0 != last) {
                return false;
            }
        }
        found = true;
        time = otherTime;
        dedup = otherDedup;
        return true;
    }
}
