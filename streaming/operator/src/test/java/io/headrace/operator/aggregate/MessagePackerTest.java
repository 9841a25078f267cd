package io.headrace.operator.aggregate;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.math.BigInteger;
import java.util.HexFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Numbers have the least form that MessagePack knows. */
class MessagePackerTest {
    private final MessagePacker out = new MessagePacker();

    @ParameterizedTest
    @CsvSource({
        "0, 00", "127, 7f", "128, cc80", "255, ccff", "256, cd0100", "65535, cdffff",
        "65536, ce00010000", "4294967295, ceffffffff", "4294967296, cf0000000100000000",
        "-1, ff", "-32, e0", "-33, d0df", "-128, d080", "-129, d1ff7f", "-32768, d18000",
        "-32769, d2ffff7fff", "-2147483648, d280000000", "-2147483649, d3ffffffff7fffffff"
    })
    void anInteger(long value, String packed) throws IOException {
        out.integer(value);
        assertEquals(packed, written());
    }

    @ParameterizedTest
    @CsvSource({
        "9223372036854775807, cf7fffffffffffffff",
        "9223372036854775808, c409008000000000000000",
        "-9223372036854775808, d38000000000000000",
        "-9223372036854775809, c409ff7fffffffffffffff"
    })
    void anIntegerOfAnySize(BigInteger value, String packed) throws IOException {
        WideIntegers.pack(out, value);
        assertEquals(packed, written());
    }

    @Test
    void aFractionInLowestTerms() throws IOException {
        WideIntegers.pack(out, BigInteger.valueOf(12), 4);
        WideIntegers.pack(out, BigInteger.valueOf(-32), 4);
        WideIntegers.pack(out, BigInteger.ZERO, 4);
        assertEquals("920302" + "fe" + "00", written());
    }

    private String written() {
        return HexFormat.of().formatHex(out.bytes());
    }
}
