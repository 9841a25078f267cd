package io.headrace.operator.aggregate;

import java.io.IOException;
import java.math.BigInteger;

/** Integers of any size as the online store keeps them. */
final class WideIntegers {
    private WideIntegers() {}

    /** Packs an integer over a power of two, in lowest terms: with its exponent if it has one. */
    static void pack(MessagePacker out, BigInteger numerator, int exponent) throws IOException {
        if (numerator.signum() == 0) {
            out.integer(0);
            return;
        }
        int shared = Math.min(numerator.getLowestSetBit(), exponent);
        if (shared < exponent) {
            out.array(2);
        }
        pack(out, numerator.shiftRight(shared));
        if (shared < exponent) {
            out.integer(exponent - shared);
        }
    }

    /** Packs an integer: in its least form, or what is beyond 64 bits by its bytes. */
    static void pack(MessagePacker out, BigInteger number) throws IOException {
        if (number.bitLength() < Long.SIZE) {
            out.integer(number.longValue());
        } else {
            out.binary(number.toByteArray());
        }
    }
}
