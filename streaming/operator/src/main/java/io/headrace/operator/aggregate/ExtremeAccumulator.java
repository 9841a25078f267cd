package io.headrace.operator.aggregate;

import io.headrace.operator.packed.PackedReader;
import io.headrace.operator.packed.PackedWriter;
import io.headrace.operator.plan.FeaturePlan;
import io.headrace.operator.state.EventColumns;
import java.io.IOException;

/** The least or greatest number of a column; -0.0 is below 0.0. */
final class ExtremeAccumulator implements Accumulator {
    private final int column;
    private final boolean floating;
    private final boolean greatest;
    private boolean found;
    private long best;

    ExtremeAccumulator(int column, boolean floating, boolean greatest) {
        this.column = column;
        this.floating = floating;
        this.greatest = greatest;
    }

    @Override
    public void clear() {
        found = false;
    }

    @Override
    public void absorb(EventColumns events, int row) {
        if (!events.isNull(column, row)) {
            offer(events.number(column, row));
        }
    }

    @Override
    public void merge(Accumulator other) {
        ExtremeAccumulator that = (ExtremeAccumulator) other;
        if (that.found) {
            offer(that.best);
        }
    }

    @Override
    public Object value(FeaturePlan feature) {
        if (!found) {
            return feature.defaultValue();
        }
        return floating ? (Object) Double.longBitsToDouble(best) : (Object) best;
    }

    @Override
    public void pack(MessagePacker out) throws IOException {
        Object value = floating ? (Object) Double.longBitsToDouble(best) : (Object) best;
        out.value(found ? value : null);
    }

    @Override
    public void write(PackedWriter out) {
        out.truth(found);
        out.bits(best);
    }

    @Override
    public void read(PackedReader in) {
        found = in.truth();
        best = in.bits();
    }

    private void offer(long value) {
        if (!found || compare(value, best) > 0 == greatest) {
            best = value;
            found = true;
        }
    }

    private int compare(long left, long right) {
        return floating
                ? Double.compare(Double.longBitsToDouble(left), Double.longBitsToDouble(right))
                : Long.compare(left, right);
    }
}
