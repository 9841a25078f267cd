/** The feature operator: features kept by Flink, as a plan compiled from the definitions says. */
package io.headrace.operator;
