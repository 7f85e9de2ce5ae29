export const title = "named by a script of its pack";
