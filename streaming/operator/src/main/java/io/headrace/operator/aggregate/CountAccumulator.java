package io.headrace.operator.aggregate;

import io.headrace.operator.packed.PackedReader;
import io.headrace.operator.packed.PackedWriter;
import io.headrace.operator.plan.FeaturePlan;
import io.headrace.operator.state.EventColumns;
import java.io.IOException;

/** The number of events. */
final class CountAccumulator implements Accumulator {
    private long count;

    @Override
    public void clear() {
        count = 0;
    }

    @Override
    public void absorb(EventColumns events, int row) {
        count++;
    }

    @Override
    public void merge(Accumulator other) {
        count += ((CountAccumulator) other).count;
    }

    @Override
    public Object value(FeaturePlan feature) {
        return count;
    }

    @Override
    public void pack(MessagePacker out) throws IOException {
        out.integer(count);
    }

    @Override
    public void write(PackedWriter out) {
        out.natural(count);
    }

    @Override
    public void read(PackedReader in) {
        count = in.natural();
    }
}
