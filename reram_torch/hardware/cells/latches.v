// What maps latches to cells: dfflibmap takes flip-flops only.
module \$_DLATCH_P_ (input E, input D, output Q);
  LATCH _TECHMAP_REPLACE_ (.G(E), .D(D), .Q(Q));
endmodule
module \$_DLATCH_N_ (input E, input D, output Q);
  LATCHN _TECHMAP_REPLACE_ (.G(E), .D(D), .Q(Q));
endmodule
