package io.headrace.operator.aggregate;

import io.headrace.operator.packed.PackedReader;
import io.headrace.operator.packed.PackedWriter;
import io.headrace.operator.plan.FeaturePlan;
import io.headrace.operator.state.EventColumns;
import java.io.IOException;
import java.util.HashSet;
import java.util.Set;

/** The set of values of one column. */
final class DistinctAccumulator implements Accumulator {
    private final int column;
    private final Set<Object> values = new HashSet<>();

    DistinctAccumulator(int column) {
        this.column = column;
    }

    @Override
    public void clear() {
        values.clear();
    }

    @Override
    public void absorb(EventColumns events, int row) {
        if (!events.isNull(column, row)) {
            values.add(events.value(column, row));
        }
    }

    @Override
    public void merge(Accumulator other) {
        values.addAll(((DistinctAccumulator) other).values);
    }

    @Override
    public Object value(FeaturePlan feature) {
        return (long) values.size();
    }

    @Override
    public void pack(MessagePacker out) throws IOException {
        out.array(values.size());
        for (Object value : values) {
            out.value(value);
        }
    }

    @Override
    public void write(PackedWriter out) {
        out.natural(values.size());
        for (Object value : values) {
            out.value(value);
        }
    }

    @Override
    public void read(PackedReader in) {
        values.clear();
        for (int left = in.count(); left > 0; left--) {
            values.add(in.value());
        }
    }
}
