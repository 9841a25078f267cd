package io.headrace.operator.aggregate;

import java.io.IOException;
import java.math.BigInteger;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** Integers of any size in state: their length in bytes, then two's complement, high byte first. */
final class WideIntegers {
    private WideIntegers() {}

    static void write(DataOutputView out, BigInteger value) throws IOException {
        byte[] bytes = value.toByteArray();
        out.writeInt(bytes.length);
        out.write(bytes);
    }

    /** Packs an integer over a power of two, in lowest terms: its bytes, then the exponent. */
    static void pack(MessagePacker out, BigInteger numerator, int exponent) throws IOException {
        int shared = numerator.signum() == 0 ? exponent : Math.min(numerator.getLowestSetBit(), exponent);
        out.array(2);
        out.binary(numerator.shiftRight(shared).toByteArray());
        out.integer(exponent - shared);
    }

    static BigInteger read(DataInputView in) throws IOException {
        byte[] bytes = new byte[in.readInt()];
        in.readFully(bytes);
        return new BigInteger(bytes);
    }
}
