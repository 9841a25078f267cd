package io.headrace.operator.aggregate;

import io.headrace.operator.packed.PackedReader;
import io.headrace.operator.packed.PackedWriter;
import io.headrace.operator.plan.FeaturePlan;
import io.headrace.operator.state.EventColumns;
import java.io.IOException;
import java.math.BigInteger;

/**
 * Sum, mean, variance and standard deviation of a column of doubles, without a rounding in between.
 *
 * <p>Every finite double is an integer times 2^-1074, its square one times 2^-2148.
 */
final class FloatMoments implements Accumulator {
    private static final int EXPONENT = -1074;
    private static final int FRACTION_BITS = 52;
    private static final long FRACTION = (1L << FRACTION_BITS) - 1;

    private final int column;
    private final boolean withSquares;
    private long count;
    private BigInteger total = BigInteger.ZERO;
    private BigInteger squares = BigInteger.ZERO;

    FloatMoments(int column, boolean withSquares) {
        this.column = column;
        this.withSquares = withSquares;
    }

    @Override
    public void clear() {
        count = 0;
        total = BigInteger.ZERO;
        squares = BigInteger.ZERO;
    }

    @Override
    public void absorb(EventColumns events, int row) {
        if (events.isNull(column, row)) {
            return;
        }
        long bits = events.number(column, row);
        count++;
        int exponent = (int) (bits >>> FRACTION_BITS & 0x7ff);
        long significand = bits & FRACTION;
        if (exponent > 0) {
            significand |= 1L << FRACTION_BITS;
            exponent--;
        }
        if (significand == 0) {
            return;
        }
        BigInteger value = BigInteger.valueOf(bits < 0 ? -significand : significand);
        total = total.add(value.shiftLeft(exponent));
        if (withSquares) {
            squares = squares.add(value.multiply(value).shiftLeft(2 * exponent));
        }
    }

    @Override
    public void merge(Accumulator other) {
        FloatMoments that = (FloatMoments) other;
        count += that.count;
        total = total.add(that.total);
        squares = squares.add(that.squares);
    }

    @Override
    public Object value(FeaturePlan feature) {
        return switch (feature.kind()) {
            case SUM -> Exact.toDouble(total, EXPONENT);
            case MEAN ->
                    count == 0
                            ? feature.defaultValue()
                            : (Object) (Exact.toDouble(total, EXPONENT) / count);
            case VARIANCE -> count < 2 ? feature.defaultValue() : (Object) variance();
            case STDDEV -> count < 2 ? feature.defaultValue() : (Object) Math.sqrt(variance());
            default -> throw new IllegalStateException(feature.kind() + " is not of moments");
        };
    }

    @Override
    public void pack(MessagePacker out) throws IOException {
        out.array(3);
        out.integer(count);
        WideIntegers.pack(out, total, -EXPONENT);
        WideIntegers.pack(out, squares, -2 * EXPONENT);
    }

    @Override
    public void write(PackedWriter out) {
        out.natural(count);
        out.wide(total);
        out.wide(squares);
    }

    @Override
    public void read(PackedReader in) {
        count = in.natural();
        total = in.wide();
        squares = in.wide();
    }

    private double variance() {
        BigInteger n = BigInteger.valueOf(count);
        BigInteger numerator = n.multiply(squares).subtract(total.multiply(total));
        BigInteger denominator = n.multiply(n.subtract(BigInteger.ONE));
        return Exact.toDouble(numerator, 2 * EXPONENT) / Exact.toDouble(denominator, 0);
    }
}
