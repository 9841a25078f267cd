package io.headrace.operator.aggregate;

import java.math.BigInteger;

/** Exact numbers become doubles: rounded once, half to even, as the oracle's division does. */
final class Exact {
    private static final int SIGNIFICAND_BITS = 53;
    private static final int LEAST_EXPONENT = -1074;

    private Exact() {}

    /** The nearest double of `value * 2^exponent`, infinite beyond the greatest. */
    static double toDouble(BigInteger value, int exponent) {
        if (value.signum() == 0) {
            return 0.0;
        }
        BigInteger magnitude = value.abs();
        // The place of the last bit that the result can hold; below it bits are rounded away.
        int last = Math.max(magnitude.bitLength() + exponent - SIGNIFICAND_BITS, LEAST_EXPONENT);
        int dropped = last - exponent;
        BigInteger kept;
        if (dropped <= 0) {
            kept = magnitude;
            last = exponent;
        } else {
            kept = magnitude.shiftRight(dropped);
            BigInteger rest = magnitude.subtract(kept.shiftLeft(dropped));
            int half = rest.compareTo(BigInteger.ONE.shiftLeft(dropped - 1));
            if (half > 0 || half == 0 && kept.testBit(0)) {
                kept = kept.add(BigInteger.ONE);
            }
        }
        double result = scaled(kept.doubleValue(), last);
        return value.signum() < 0 ? -result : result;
    }

    // Both factors are exact, so that no step but an overflow rounds.
    private static double scaled(double value, int exponent) {
        if (exponent >= LEAST_EXPONENT) {
            return Math.scalb(value, exponent);
        }
        int half = exponent / 2;
        return Math.scalb(Math.scalb(value, half), exponent - half);
    }
}
