package io.headrace.operator.aggregate;

import java.io.IOException;
import java.math.BigInteger;

/** Integers of any size as the online store keeps them. */
final class WideIntegers {
    private WideIntegers() {}

    /** Packs an integer over a power of two, in lowest terms: its bytes, then the exponent. */
    static void pack(MessagePacker out, BigInteger numerator, int exponent) throws IOException {
        int shared = numerator.signum() == 0 ? exponent : Math.min(numerator.getLowestSetBit(), exponent);
        out.array(2);
        out.binary(numerator.shiftRight(shared).toByteArray());
        out.integer(exponent - shared);
    }
}
