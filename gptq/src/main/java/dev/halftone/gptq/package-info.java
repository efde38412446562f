/// GPTQ: codes found column by column, each error pushed onto the columns still to come.
package dev.halftone.gptq;
