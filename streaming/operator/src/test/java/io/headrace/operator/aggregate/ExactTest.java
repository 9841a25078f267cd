package io.headrace.operator.aggregate;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Random;
import org.junit.jupiter.api.Test;

class ExactTest {
    @Test
    void anIntegerIsRoundedHalfToEven() {
        BigInteger odd = BigInteger.ONE.shiftLeft(53).add(BigInteger.ONE);
        assertEquals(0x1p53, Exact.toDouble(odd, 0));
        assertEquals(0x1p53 + 4, Exact.toDouble(odd.add(BigInteger.TWO), 0));
        assertEquals(-0x1p53, Exact.toDouble(odd.negate(), 0));
    }

    @Test
    void theSmallestNumbersAreRoundedOnceToo() {
        assertEquals(Double.MIN_VALUE, Exact.toDouble(BigInteger.ONE, -1074));
        assertEquals(0.0, Exact.toDouble(BigInteger.ONE, -1075));
        assertEquals(Double.MIN_VALUE, Exact.toDouble(BigInteger.valueOf(3), -1076));
        assertEquals(2 * Double.MIN_VALUE, Exact.toDouble(BigInteger.valueOf(3), -1075));
    }

    @Test
    void whatIsBeyondTheGreatestIsInfinite() {
        assertEquals(Double.POSITIVE_INFINITY, Exact.toDouble(BigInteger.ONE, 1024));
        assertEquals(Double.MAX_VALUE, Exact.toDouble(BigInteger.ONE.shiftLeft(53).subtract(BigInteger.ONE), 971));
    }

    @Test
    void everyNumberIsTheNearest() {
        Random chance = new Random(1);
        for (int i = 0; i < 10_000; i++) {
            BigInteger value = new BigInteger(1 + chance.nextInt(200), chance);
            int exponent = chance.nextInt(200) - 100;
            BigDecimal exact = new BigDecimal(value);
            BigDecimal power = BigDecimal.valueOf(2).pow(Math.abs(exponent));
            // A power of two divides without a rest.
            BigDecimal wanted = exponent < 0 ? exact.divide(power) : exact.multiply(power);
            assertEquals(Double.parseDouble(wanted.toString()), Exact.toDouble(value, exponent));
        }
    }
}
