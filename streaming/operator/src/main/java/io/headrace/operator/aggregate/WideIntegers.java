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

    static BigInteger read(DataInputView in) throws IOException {
        byte[] bytes = new byte[in.readInt()];
        in.readFully(bytes);
        return new BigInteger(bytes);
    }
}
