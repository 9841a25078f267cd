package io.headrace.operator.aggregate;

import io.headrace.operator.packed.PackedReader;
import io.headrace.operator.packed.PackedWriter;
import io.headrace.operator.plan.FeaturePlan;
import io.headrace.operator.state.EventColumns;
import java.io.IOException;
import java.math.BigInteger;
import java.util.Map;
import java.util.TreeMap;

/**
 * The log-linear histogram of an integer column: 128 equal buckets to a power of two (Tene 2012).
 */
final class HistogramAccumulator implements Accumulator {
    private static final int PRECISION_BITS = 7;

    private final int column;
    private final TreeMap<Integer, Long> counts = new TreeMap<>();
    private long count;

    HistogramAccumulator(int column) {
        this.column = column;
    }

    @Override
    public void clear() {
        counts.clear();
        count = 0;
    }

    @Override
    public void absorb(EventColumns events, int row) {
        if (!events.isNull(column, row)) {
            counts.merge(bucket(events.number(column, row)), 1L, Long::sum);
            count++;
        }
    }

    @Override
    public void merge(Accumulator other) {
        HistogramAccumulator that = (HistogramAccumulator) other;
        that.counts.forEach((bucket, n) -> counts.merge(bucket, n, Long::sum));
        count += that.count;
    }

    @Override
    public Object value(FeaturePlan feature) {
        if (count == 0) {
            return feature.defaultValue();
        }
        long left = rank(feature);
        for (Map.Entry<Integer, Long> entry : counts.entrySet()) {
            left -= entry.getValue();
            if (left <= 0) {
                return middle(entry.getKey());
            }
        }
        throw new IllegalStateException("a rank beyond the count");
    }

    @Override
    public void pack(MessagePacker out) throws IOException {
        out.array(counts.size());
        for (Map.Entry<Integer, Long> entry : counts.entrySet()) {
            out.array(2);
            out.integer(entry.getKey());
            out.integer(entry.getValue());
        }
    }

    @Override
    public void write(PackedWriter out) {
        out.natural(counts.size());
        for (Map.Entry<Integer, Long> entry : counts.entrySet()) {
            out.integer(entry.getKey());
            out.natural(entry.getValue());
        }
    }

    @Override
    public void read(PackedReader in) {
        clear();
        for (int left = in.count(); left > 0; left--) {
            int bucket = (int) in.integer();
            long n = in.natural();
            counts.put(bucket, n);
            count += n;
        }
    }

    // The nearest rank from 1: ceil(q * count).
    private long rank(FeaturePlan feature) {
        BigInteger denominator = BigInteger.valueOf(feature.qDenominator());
        return BigInteger.valueOf(feature.qNumerator())
                .multiply(BigInteger.valueOf(count))
                .add(denominator)
                .subtract(BigInteger.ONE)
                .divide(denominator)
                .longValueExact();
    }

    // The magnitude is unsigned: that of the least long has no sign bit left.
    private static int bucket(long value) {
        long magnitude = value < 0 ? -value : value;
        int length = Long.SIZE - Long.numberOfLeadingZeros(magnitude);
        int shift = Math.max(length - PRECISION_BITS - 1, 0);
        int bucket = (shift << PRECISION_BITS) + (int) (magnitude >>> shift);
        return value < 0 ? -bucket : bucket;
    }

    private static long middle(int bucket) {
        long index = Math.abs(bucket);
        int shift = (int) Math.max((index >>> PRECISION_BITS) - 1, 0);
        BigInteger middle =
                BigInteger.valueOf(index - ((long) shift << PRECISION_BITS))
                        .shiftLeft(shift)
                        .add(
                                BigInteger.ONE
                                        .shiftLeft(shift)
                                        .subtract(BigInteger.ONE)
                                        .shiftRight(1));
        BigInteger signed = bucket < 0 ? middle.negate() : middle;
        return signed.max(BigInteger.valueOf(Long.MIN_VALUE))
                .min(BigInteger.valueOf(Long.MAX_VALUE))
                .longValueExact();
    }
}
