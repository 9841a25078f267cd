package io.headrace.operator.aggregate;

import io.headrace.operator.BadRecord;
import io.headrace.operator.packed.PackedReader;
import io.headrace.operator.packed.PackedWriter;
import io.headrace.operator.plan.FeaturePlan;
import io.headrace.operator.state.EventColumns;
import java.io.IOException;
import java.math.BigInteger;

/**
 * Sum, mean, variance and standard deviation of an integer column.
 *
 * <p>Sums are kept in 64 bits as long as they fit; what goes beyond is carried into a wide integer.
 */
final class IntegerMoments implements Accumulator {
    private static final BigInteger LEAST = BigInteger.valueOf(Long.MIN_VALUE);
    private static final BigInteger GREATEST = BigInteger.valueOf(Long.MAX_VALUE);

    private final int column;
    private final boolean withSquares;
    private long count;
    private long total;
    private long squares;
    private BigInteger wideTotal = BigInteger.ZERO;
    private BigInteger wideSquares = BigInteger.ZERO;

    IntegerMoments(int column, boolean withSquares) {
        this.column = column;
        this.withSquares = withSquares;
    }

    @Override
    public void clear() {
        count = 0;
        total = 0;
        squares = 0;
        wideTotal = BigInteger.ZERO;
        wideSquares = BigInteger.ZERO;
    }

    @Override
    public void absorb(EventColumns events, int row) {
        if (events.isNull(column, row)) {
            return;
        }
        long value = events.number(column, row);
        count++;
        addTotal(value);
        if (withSquares) {
            long high = Math.multiplyHigh(value, value);
            long low = value * value;
            if (high == 0 && low >= 0) {
                addSquares(low);
            } else {
                BigInteger wide = BigInteger.valueOf(value);
                wideSquares = wideSquares.add(wide.multiply(wide));
            }
        }
    }

    @Override
    public void merge(Accumulator other) {
        IntegerMoments that = (IntegerMoments) other;
        count += that.count;
        addTotal(that.total);
        addSquares(that.squares);
        wideTotal = wideTotal.add(that.wideTotal);
        wideSquares = wideSquares.add(that.wideSquares);
    }

    @Override
    public Object value(FeaturePlan feature) throws BadRecord {
        long sum = checkedTotal(feature);
        return switch (feature.kind()) {
            case SUM -> sum;
            case MEAN -> count == 0 ? feature.defaultValue() : (Object) ((double) sum / count);
            case VARIANCE -> count < 2 ? feature.defaultValue() : (Object) variance(sum);
            case STDDEV -> count < 2 ? feature.defaultValue() : (Object) Math.sqrt(variance(sum));
            default -> throw new IllegalStateException(feature.kind() + " is not of moments");
        };
    }

    @Override
    public void pack(MessagePacker out) throws IOException {
        out.array(3);
        out.integer(count);
        WideIntegers.pack(out, exact(wideTotal, total));
        WideIntegers.pack(out, exact(wideSquares, squares));
    }

    @Override
    public void write(PackedWriter out) {
        out.natural(count);
        out.integer(total);
        out.natural(squares);
        boolean wide = wideTotal.signum() != 0 || wideSquares.signum() != 0;
        out.truth(wide);
        if (wide) {
            out.wide(wideTotal);
            out.wide(wideSquares);
        }
    }

    @Override
    public void read(PackedReader in) {
        clear();
        count = in.natural();
        total = in.integer();
        squares = in.natural();
        if (in.truth()) {
            wideTotal = in.wide();
            wideSquares = in.wide();
        }
    }

    private void addTotal(long value) {
        long sum = total + value;
        if (((total ^ sum) & (value ^ sum)) < 0) {
            wideTotal = wideTotal.add(BigInteger.valueOf(total));
            total = value;
        } else {
            total = sum;
        }
    }

    // Neither is below zero.
    private void addSquares(long value) {
        long sum = squares + value;
        if (sum < 0) {
            wideSquares = wideSquares.add(BigInteger.valueOf(squares));
            squares = value;
        } else {
            squares = sum;
        }
    }

    private long checkedTotal(FeaturePlan feature) throws BadRecord {
        if (wideTotal.signum() == 0) {
            return total;
        }
        BigInteger sum = exact(wideTotal, total);
        if (sum.compareTo(LEAST) < 0 || sum.compareTo(GREATEST) > 0) {
            throw new BadRecord(
                    "integer_overflow", feature.name() + ": the sum " + sum + " is outside int64");
        }
        return sum.longValueExact();
    }

    // (n·Σx² − (Σx)²) / (n·(n−1)), each side exact and rounded once.
    private double variance(long sum) {
        double denominator = denominator();
        if (wideSquares.signum() == 0
                && Math.multiplyHigh(count, squares) == 0
                && Math.multiplyHigh(sum, sum) == 0) {
            long left = count * squares;
            long right = sum * sum;
            // By Cauchy and Schwarz the difference isn't negative.
            if (left >= 0 && right >= 0) {
                return (double) (left - right) / denominator;
            }
        }
        BigInteger n = BigInteger.valueOf(count);
        BigInteger wide = BigInteger.valueOf(sum);
        BigInteger numerator =
                n.multiply(exact(wideSquares, squares)).subtract(wide.multiply(wide));
        return Exact.toDouble(numerator, 0) / denominator;
    }

    private double denominator() {
        if (count < Integer.MAX_VALUE) {
            return (double) (count * (count - 1));
        }
        BigInteger n = BigInteger.valueOf(count);
        return Exact.toDouble(n.multiply(n.subtract(BigInteger.ONE)), 0);
    }

    private static BigInteger exact(BigInteger wide, long narrow) {
        return wide.signum() == 0 ? BigInteger.valueOf(narrow) : wide.add(BigInteger.valueOf(narrow));
    }
}
