package io.headrace.operator.expression;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.headrace.operator.BadRecord;
import java.io.IOException;
import java.util.List;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.junit.jupiter.api.Test;

class ExpressionsTest {
    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final List<String> COLUMNS = List.of("a", "b");

    private static Expression compiled(String node) throws IOException {
        return Expressions.compile(MAPPER.readTree(node.replace('\'', '"')), COLUMNS);
    }

    private static Object value(String node, Object a, Object b) throws IOException, BadRecord {
        return compiled(node).evaluate(new Object[] {a, b});
    }

    private static String sides(String node) {
        String left = "'left':{'node':'column','name':'a'}";
        return "{" + node + "," + left + ",'right':{'node':'column','name':'b'}}";
    }

    private static String compare(String sign) {
        return sides("'node':'compare','op':'" + sign + "'");
    }

    private static String arithmetic(String sign, boolean floating) {
        return sides("'node':'arithmetic','op':'" + sign + "','floating':" + floating);
    }

    @Test
    void aNullSideLeavesAndAndOrOpenUnlessTheOtherDecides() throws IOException, BadRecord {
        assertEquals(false, value(sides("'node':'and'"), null, false));
        assertNull(value(sides("'node':'and'"), null, true));
        assertEquals(true, value(sides("'node':'or'"), null, true));
        assertNull(value(sides("'node':'or'"), false, null));
    }

    @Test
    void numbersAreComparedAsDoublesWhereOneIs() throws IOException, BadRecord {
        assertEquals(true, value(compare("="), -0.0, 0.0));
        assertEquals(true, value(compare("="), 9007199254740993L, 9007199254740992.0));
        assertEquals(false, value(compare("="), 9007199254740993L, 9007199254740992L));
        assertEquals(false, value(compare(">="), Double.NaN, Double.NaN));
        assertEquals(true, value(compare("<>"), Double.NaN, 1L));
        assertNull(value(compare("<"), null, 1L));
    }

    @Test
    void textsAreInTheOrderOfTheirCodePoints() throws IOException, BadRecord {
        assertEquals(true, value(compare("<"), "\uff5e", "\ud83d\ude00"));
        assertEquals(true, value(compare("<"), "a", "ab"));
        assertEquals(true, value(compare("="), "ß", "ß"));
    }

    @Test
    void wholeNumbersOverflowLoudly() throws IOException {
        BadRecord bad =
                assertThrows(
                        BadRecord.class,
                        () -> value(arithmetic("*", false), Long.MAX_VALUE, 2L));
        assertEquals("integer_overflow", bad.reason());
        assertEquals(
                "a row expression gives 18446744073709551614, which is outside int64",
                bad.getMessage());
        String negated = "{'node':'negate','operand':{'node':'column','name':'a'}}";
        assertThrows(BadRecord.class, () -> value(negated, Long.MIN_VALUE, null));
    }

    @Test
    void doublesStayFinite() throws IOException, BadRecord {
        assertEquals(2.5, value(arithmetic("+", true), 2L, 0.5));
        BadRecord bad =
                assertThrows(BadRecord.class, () -> value(arithmetic("*", true), 1e308, -10.0));
        assertEquals("not_finite", bad.reason());
        assertEquals(
                "a row expression gives -inf, which is no finite double", bad.getMessage());
    }

    @Test
    void aQuotientIsADoubleAndNullByZero() throws IOException, BadRecord {
        assertEquals(3.5, value(arithmetic("/", true), 7L, 2L));
        assertNull(value(arithmetic("/", true), 7L, 0L));
        assertNull(value(arithmetic("/", true), 0.0, -0.0));
        assertNull(value(arithmetic("/", true), 1L, null));
        assertThrows(BadRecord.class, () -> value(arithmetic("/", true), 1e308, 0.1));
    }

    @Test
    void aCaseLooksNoFurtherThanItsFirstTrueCondition() throws IOException, BadRecord {
        String overflowing = arithmetic("*", false);
        String node =
                "{'node':'case','branches':[["
                        + "{'node':'is_null','operand':{'node':'column','name':'b'}},"
                        + "{'node':'literal','type':'int64','value':1}]],'otherwise':"
                        + overflowing
                        + "}";
        assertEquals(1L, value(node, Long.MAX_VALUE, null));
        assertThrows(BadRecord.class, () -> value(node, Long.MAX_VALUE, 2L));
    }

    @Test
    void inFindsZeroOfEitherSign() throws IOException, BadRecord {
        String node =
                "{'node':'in','operand':{'node':'column','name':'a'},"
                        + "'values':[{'node':'literal','type':'float64','value':0.0}]}";
        assertEquals(true, value(node, -0.0, null));
        assertEquals(false, value(node, 1.0, null));
        assertNull(value(node, null, null));
    }

    @Test
    void whatThePlanCantSayIsRefused() {
        assertThrows(IllegalArgumentException.class, () -> compiled("{'node':'divide'}"));
        assertThrows(
                IllegalArgumentException.class, () -> compiled("{'node':'column','name':'c'}"));
    }
}
