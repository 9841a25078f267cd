package io.headrace.operator.packed;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.math.BigInteger;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

class PackedReaderTest {
    @Test
    void everyNumberIsReadAsItWasWritten() {
        long[] numbers = {0, 1, -1, 127, 128, 1L << 62, Long.MAX_VALUE, Long.MIN_VALUE};
        PackedWriter out = new PackedWriter(1);
        for (long number : numbers) {
            out.natural(number);
            out.integer(number);
            out.bits(number);
        }
        PackedReader in = new PackedReader(out.written());
        for (long number : numbers) {
            assertEquals(number, in.natural());
            assertEquals(number, in.integer());
            assertEquals(number, in.bits());
        }
    }

    @Test
    void everyValueIsReadAsItWasWritten() {
        List<Object> values =
                Arrays.asList(null, -5L, -0.0, Double.MIN_VALUE, true, false, "", "ß😀");
        PackedWriter out = new PackedWriter(1);
        values.forEach(out::value);
        PackedReader in = new PackedReader(out.written());
        for (Object value : values) {
            assertEquals(value, in.value());
        }
    }

    @Test
    void anIntegerOfAnySizeTakesTheRoomOfItsBits() {
        BigInteger large = BigInteger.valueOf(-3).shiftLeft(2_148);
        PackedWriter out = new PackedWriter(1);
        out.wide(large);
        out.wide(BigInteger.ZERO);
        byte[] written = out.written();
        assertEquals(6, written.length - 1);
        PackedReader in = new PackedReader(written);
        assertEquals(large, in.wide());
        assertEquals(BigInteger.ZERO, in.wide());
    }

    @Test
    void bytesMayBeNone() {
        PackedWriter out = new PackedWriter(1);
        out.binary(new byte[0]);
        out.binary(new byte[] {1, 2});
        PackedReader in = new PackedReader(out.written());
        assertArrayEquals(new byte[0], in.binary());
        assertArrayEquals(new byte[] {1, 2}, in.binary());
    }

    @Test
    void aValueOfAnUnknownTypeIsRefused() {
        assertThrows(
                IllegalArgumentException.class, () -> new PackedReader(new byte[] {9}).value());
    }
}
