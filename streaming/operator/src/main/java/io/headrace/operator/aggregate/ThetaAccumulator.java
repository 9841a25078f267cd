package io.headrace.operator.aggregate;

import io.headrace.operator.packed.PackedReader;
import io.headrace.operator.packed.PackedWriter;
import io.headrace.operator.plan.FeaturePlan;
import io.headrace.operator.state.EventColumns;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.TreeSet;
import org.apache.flink.shaded.guava33.com.google.common.hash.HashFunction;
import org.apache.flink.shaded.guava33.com.google.common.hash.Hashing;

/**
 * The Theta sketch of one column: the hashes below theta, all of them or the K smallest.
 *
 * <p>Hashes and estimate are those of the Apache DataSketches library (Dasgupta et al. 2016).
 */
final class ThetaAccumulator implements Accumulator {
    private static final int K = 1 << 12;
    private static final long GREATEST_THETA = Long.MAX_VALUE;
    private static final HashFunction HASH = Hashing.murmur3_128(9001);

    private final int column;
    private final TreeSet<Long> hashes = new TreeSet<>();
    private long theta = GREATEST_THETA;

    ThetaAccumulator(int column) {
        this.column = column;
    }

    @Override
    public void clear() {
        hashes.clear();
        theta = GREATEST_THETA;
    }

    @Override
    public void absorb(EventColumns events, int row) {
        if (!events.isNull(column, row)) {
            offer(hash(events.value(column, row)));
        }
    }

    @Override
    public void merge(Accumulator other) {
        ThetaAccumulator that = (ThetaAccumulator) other;
        if (that.theta < theta) {
            theta = that.theta;
            hashes.tailSet(theta, true).clear();
        }
        for (long hash : that.hashes) {
            offer(hash);
        }
    }

    @Override
    public Object value(FeaturePlan feature) {
        if (theta == GREATEST_THETA) {
            return (double) hashes.size();
        }
        return hashes.size() / ((double) theta / (double) GREATEST_THETA);
    }

    @Override
    public void pack(MessagePacker out) throws IOException {
        out.array(2);
        out.integer(theta);
        out.array(hashes.size());
        for (long hash : hashes) {
            out.integer(hash);
        }
    }

    @Override
    public void write(PackedWriter out) {
        out.natural(theta);
        out.natural(hashes.size());
        for (long hash : hashes) {
            out.bits(hash);
        }
    }

    @Override
    public void read(PackedReader in) {
        hashes.clear();
        theta = in.natural();
        for (int left = in.count(); left > 0; left--) {
            hashes.add(in.bits());
        }
    }

    private void offer(long hash) {
        if (hash < theta && hashes.add(hash) && hashes.size() > K) {
            theta = hashes.pollLast();
        }
    }

    // The library ignores the empty string, which is a value like any other: texts get a prefix.
    private static long hash(Object value) {
        byte[] bytes;
        if (value instanceof String text) {
            bytes = ("s" + text).getBytes(StandardCharsets.UTF_8);
        } else {
            long number = value instanceof Boolean truth ? (truth ? 1 : 0) : (Long) value;
            bytes =
                    ByteBuffer.allocate(Long.BYTES)
                            .order(ByteOrder.LITTLE_ENDIAN)
                            .putLong(number)
                            .array();
        }
        return HASH.hashBytes(bytes).asLong() >>> 1;
    }
}
